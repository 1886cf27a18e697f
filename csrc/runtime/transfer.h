#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "runtime/device.h"
#include "runtime/memory.h"

namespace hb {

/// Copies between the host and a context's memory, in queue order: at once on the cpu; on a device by way of host
/// memory that it can reach, done when the job has landed. Executor only.
class Transfers {
 public:
  /// Runs when a job's work is done, or has failed; on whatever thread finds out.
  using Landing = std::function<void(const Status& status)>;

  /// Null device: everything is host memory. `pinned` is then null, too.
  Transfers(std::shared_ptr<Device> device, std::shared_ptr<Memory> pinned)
      : device_(std::move(device)), pinned_(std::move(pinned)) {}

  /// `from` may change as soon as this returns.
  Status write(void* to, const void* from, int64_t bytes);
  Status zero(void* to, int64_t bytes);
  /// Calls `done` with the bytes, or with the failure and null.
  using Done = std::function<void(const Status& status, const void* data)>;
  void read(const void* from, int64_t bytes, Done done);

  /// What the job has to do when its work is done.
  std::vector<Landing> take_landings() { return std::exchange(landings_, {}); }
  void at_landing(Landing landing) { landings_.push_back(std::move(landing)); }
  /// Lets go of host memory, before the device is closed.
  void close() {
    landings_.clear();
    pieces_.clear();
  }

 private:
  using Block = std::shared_ptr<void>;
  Block block(int64_t bytes);
  Status write_in_pieces(char* to, const char* from, int64_t bytes);

  /// One of the buffers that large writes go through in turn.
  struct Piece {
    Block block;
    Fence fence;
    bool used = false;
  };

  const std::shared_ptr<Device> device_;
  const std::shared_ptr<Memory> pinned_;
  std::vector<Landing> landings_;
  std::vector<Piece> pieces_;
};

}  // namespace hb
