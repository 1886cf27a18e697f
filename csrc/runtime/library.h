#pragma once
#include <string>

#include "core/status.h"
#include "device/api.h"

namespace hb {

/// The table of `hyper_bagel_<name>.so`, which lies beside this addon; opened at the first call. BACKEND_MISSING, with
/// the reason and `remedy`, when it is not there, cannot be opened or was built from other sources than the addon.
Status load_library(const std::string& name, const std::string& remedy, const DeviceApi** api);

/// Where it is looked for.
std::string library_path(const std::string& name);

}  // namespace hb
