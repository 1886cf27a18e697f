#include "runtime/device_ring.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace hb {

namespace {

constexpr uint64_t kFirstCapacity = 1 << 16;

/// Words of host memory that kernels write: the flags, then the published head.
struct Words {
  uint32_t flags[kFlagWords];
  uint64_t published;
};

Status no_memory(uint64_t bytes) {
  return Status::fail(Code::OUT_OF_MEMORY, "no memory for a ring of " + std::to_string(bytes) + " bytes");
}

}  // namespace

Status DeviceRing::create(std::shared_ptr<Device> device, std::shared_ptr<Memory> memory,
                          std::shared_ptr<Memory> pinned, std::unique_ptr<DeviceRing>* ring) {
  std::unique_ptr<DeviceRing> r(new DeviceRing());
  r->device_ = std::move(device);
  r->memory_ = std::move(memory);
  r->pinned_ = std::move(pinned);
  r->state_.data = r->memory_->take(sizeof(RingState), &r->state_.bytes);
  r->words_.data = r->pinned_->take(sizeof(Words), &r->words_.bytes);
  if (!r->state_.data || !r->words_.data) return no_memory(sizeof(RingState));
  std::memset(r->words_.data, 0, sizeof(Words));
  r->device_->api().set_ring(r->device_->handle(), static_cast<RingState*>(r->state_.data),
                             static_cast<Words*>(r->words_.data)->flags);
  *ring = std::move(r);
  return Status::success();
}

void DeviceRing::give(const std::shared_ptr<Memory>& memory, Block& block) {
  if (block.data) memory->give(block.data, block.bytes);
  block = {};
}

void DeviceRing::close() {
  give(memory_, state_);
  give(pinned_, records_);
  give(pinned_, words_);
}

uint64_t DeviceRing::bytes_of(const Call& call) {
  if (call.op != Op::emit) return 0;
  return ring_bytes(static_cast<uint64_t>(storage_bytes(static_cast<const Emit*>(call.args())->payload)));
}

/// A larger buffer, when nothing uses the one before.
Status DeviceRing::make_room(uint64_t capacity, Transfers& transfers) {
  Block grown;
  grown.data = pinned_->take(static_cast<int64_t>(capacity), &grown.bytes);
  if (!grown.data) return no_memory(capacity);
  give(pinned_, records_);
  records_ = grown;
  capacity_ = capacity;
  auto* words = static_cast<Words*>(words_.data);
  words->published = 0;
  tail_ = 0;
  const RingState state{static_cast<uint8_t*>(records_.data), capacity_, 0, &words->published};
  return transfers.write(state_.data, &state, sizeof state);
}

Status DeviceRing::reserve(uint64_t bytes, Transfers& transfers) {
  if (bytes == 0) return Status::success();
  std::unique_lock lock(mutex_);
  const uint64_t wanted = reserved_ + bytes;
  if (wanted > capacity_) {
    // What this job has emitted already would be lost; a program reserves all that it emits at once.
    if (reserved_ > 0) return no_memory(wanted);
    landed_.wait(lock, [&] { return outstanding_ == 0; });
    if (Status s = make_room(std::max(kFirstCapacity, std::bit_ceil(2 * wanted)), transfers); !s.ok()) return s;
  }
  landed_.wait(lock, [&] { return outstanding_ - reserved_ + wanted <= capacity_; });
  reserved_ += bytes;
  outstanding_ += bytes;
  return Status::success();
}

void DeviceRing::land(uint64_t reserved, Ring& to) {
  std::lock_guard lock(mutex_);
  if (records_.data) {
    const auto* buffer = static_cast<const uint8_t*>(records_.data);
    const uint64_t head =
        std::atomic_ref<uint64_t>(static_cast<Words*>(words_.data)->published).load(std::memory_order_acquire);
    std::vector<uint8_t> record;
    while (tail_ < head) {
      RingHeader header;
      std::memcpy(&header, buffer + (tail_ & (capacity_ - 1)), sizeof header);
      const uint64_t from = (tail_ + sizeof header) & (capacity_ - 1), first = std::min(header.bytes, capacity_ - from);
      record.resize(header.bytes);
      std::memcpy(record.data(), buffer + from, first);
      std::memcpy(record.data() + first, buffer, header.bytes - first);
      to.push(header.channel, record.data(), record.size());
      tail_ += ring_bytes(header.bytes);
    }
  }
  outstanding_ -= reserved;
  landed_.notify_all();
}

uint32_t DeviceRing::take_flags() {
  uint32_t flags = 0;
  auto* words = static_cast<Words*>(words_.data);
  for (int i = 0; i < kFlagWords; ++i)
    if (std::atomic_ref<uint32_t>(words->flags[i]).exchange(0)) flags |= 1u << i;
  return flags;
}

}  // namespace hb
