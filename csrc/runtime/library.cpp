#include "runtime/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <map>
#include <mutex>

namespace hb {

namespace {

/// The folder of the file that this function was linked into.
std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&own_folder), &info) == 0 || !info.dli_fname) return ".";
  const std::string file = info.dli_fname;
  const size_t slash = file.rfind('/');
  return slash == std::string::npos ? "." : file.substr(0, slash);
}

Status missing(const std::string& text) { return Status::fail(Code::BACKEND_MISSING, text); }

}  // namespace

std::string library_path(const std::string& name) { return own_folder() + "/hyper_bagel_" + name + ".so"; }

Status load_library(const std::string& name, const std::string& remedy, const DeviceApi** api) {
  static std::mutex mutex;
  static std::map<std::string, const DeviceApi*> loaded;
  std::lock_guard lock(mutex);
  if (auto it = loaded.find(name); it != loaded.end()) {
    *api = it->second;
    return Status::success();
  }
  const std::string path = library_path(name), what = "the library of the " + name + " backend, " + path + ",";
  if (access(path.c_str(), F_OK) != 0) return missing(what + " is not there; " + remedy);
  // Never closed: threads of the driver run in it.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char* why = dlerror();
    return missing(what + " cannot be loaded (" + (why ? why : "no reason given") + "); " + remedy);
  }
  auto* entry = reinterpret_cast<const DeviceApi* (*)()>(dlsym(library, kDeviceEntry));
  const DeviceApi* table = entry ? entry() : nullptr;
  if (!table) return missing(what + " is not one of this package; " + remedy);
  if (std::string(table->device) != name) return missing(what + " is one of the " + table->device + " backend");
  if (table->abi != kDeviceAbi || table->bytes != sizeof(DeviceApi) || table->contracts != contracts_fingerprint() ||
      std::string(table->version) != HB_VERSION)
    return missing(what + " was built from other sources than this addon; " + remedy);
  loaded[name] = *api = table;
  return Status::success();
}

}  // namespace hb
