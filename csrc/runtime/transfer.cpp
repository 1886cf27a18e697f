#include "runtime/transfer.h"

#include <algorithm>
#include <cstring>

namespace hb {

namespace {

/// Writes up to this size have a buffer each, so that the executor never waits for them.
constexpr int64_t kSmall = 256 << 10;
constexpr int64_t kPiece = 4 << 20;
constexpr size_t kPieces = 3;

Status no_memory(int64_t bytes) {
  return Status::fail(Code::OUT_OF_MEMORY, "no host memory for a copy of " + std::to_string(bytes) + " bytes");
}

}  // namespace

Transfers::Block Transfers::block(int64_t bytes) {
  int64_t size = 0;
  void* p = pinned_->take(bytes, &size);
  if (!p) return nullptr;
  return {p, [memory = pinned_, size](void* block) { memory->give(block, size); }};
}

Status Transfers::write(void* to, const void* from, int64_t bytes) {
  if (bytes == 0) return Status::success();
  if (!device_) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
    return Status::success();
  }
  if (bytes > kSmall) return write_in_pieces(static_cast<char*>(to), static_cast<const char*>(from), bytes);
  Block staged = block(bytes);
  if (!staged) return no_memory(bytes);
  std::memcpy(staged.get(), from, static_cast<size_t>(bytes));
  landings_.emplace_back([staged](const Status&) {});
  return device_->call(device_->api().copy_in, to, static_cast<const void*>(staged.get()), static_cast<size_t>(bytes));
}

Status Transfers::write_in_pieces(char* to, const char* from, int64_t bytes) {
  while (pieces_.size() < kPieces) {
    pieces_.push_back({block(kPiece), Fence(*device_)});
    if (!pieces_.back().block) {
      pieces_.pop_back();
      return no_memory(kPiece);
    }
  }
  for (int64_t at = 0, n = 0; at < bytes; at += kPiece, ++n) {
    Piece& piece = pieces_[static_cast<size_t>(n) % kPieces];
    if (piece.used)
      if (Status s = piece.fence.wait(); !s.ok()) return s;
    const auto size = static_cast<size_t>(std::min(kPiece, bytes - at));
    std::memcpy(piece.block.get(), from + at, size);
    if (Status s = device_->call(device_->api().copy_in, to + at, static_cast<const void*>(piece.block.get()), size);
        !s.ok())
      return s;
    if (Status s = piece.fence.record(); !s.ok()) return s;
    piece.used = true;
  }
  return Status::success();
}

Status Transfers::zero(void* to, int64_t bytes) {
  if (bytes == 0) return Status::success();
  if (device_) return device_->call(device_->api().fill, to, 0, static_cast<size_t>(bytes));
  std::memset(to, 0, static_cast<size_t>(bytes));
  return Status::success();
}

void Transfers::read(const void* from, int64_t bytes, Done done) {
  if (!device_ || bytes == 0) return done(Status::success(), from);
  Block staged = block(bytes);
  const Status status = staged ? device_->call(device_->api().copy_out, staged.get(), from, static_cast<size_t>(bytes))
                               : no_memory(bytes);
  if (!status.ok()) return done(status, nullptr);
  landings_.emplace_back([staged, done](const Status& s) { done(s, s.ok() ? staged.get() : nullptr); });
}

}  // namespace hb
