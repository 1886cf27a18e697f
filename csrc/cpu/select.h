#pragma once
#include <string>
#include <vector>

#include "core/status.h"
#include "cpu/verbs.h"

namespace hb::cpu {

struct Isa {
  const Verbs* verbs;
  bool runs_here;  ///< the processor and the operating system have it
  bool model;      ///< a software model of an instruction set, for tests only: never chosen unless asked for by name
};

/// Every instruction set that was compiled in, best first.
const std::vector<Isa>& instruction_sets();

/// The verbs for a name, or the best that runs here for an empty one. Fails with BAD_OPTION for an unknown name and
/// NOT_SUPPORTED for one that this machine lacks.
Status select(const std::string& name, const Verbs** verbs);

}  // namespace hb::cpu
