#pragma once
// Memory whose end is guarded, and what becomes of an access beyond it.
#include <string>

#include "simt/simt.h"

namespace hb::simt {

class Block;
class Stacks;

/// Memory filled with 0xFF (NaN) whose last byte, rounded up to 16, lies before a page that may not be touched. Null
/// when there is none. An access of a kernel beyond it ends the launch; an access by anything else is a crash.
void* guarded_allocate(size_t bytes);
void guarded_free(void* memory);

/// Turns faults of kernels on this OS thread into errors of the launch. Other faults go where they went before.
void catch_faults();

/// What an access to `address` by the code at `code` was, for a report; `site`: the thread's last primitive.
std::string describe_fault(const Block& block, const Stacks& stacks, const void* address, const void* code, Site site);

/// "file.cu:12", or "module+0x1234" where no tool or no line table is at hand.
std::string text_of_code(const void* code);

}  // namespace hb::simt
