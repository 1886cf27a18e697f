#pragma once
// The queue of a device: work in order, on a thread of its own as on a card, or at once.
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "simt/launch.h"

namespace hb::simt {

/// A point in a stream.
struct Fence {
  bool passed = true;
  int64_t time_ns = 0;
};

class Stream final : public Queue {
 public:
  using Work = std::function<std::string()>;
  using Graph = std::vector<Work>;

  /// `at_once`: work runs in the call that brings it, between `before` and `after`. `fails_at`: the number of the work
  /// that is to fail, from 1 on; 0: none.
  Stream(bool at_once, std::function<void()> before, std::function<void()> after, int fails_at = 0);
  /// Runs what is left.
  ~Stream() override;

  /// Work that fails ends all that follows, but for finally().
  std::string submit(Work work) override;
  /// Has work failed on its thread? Then no more is taken.
  bool lost() const;
  /// Runs in its turn whatever happened before; never part of a graph.
  void finally(std::function<void()> work);
  void record(const std::shared_ptr<Fence>& fence);
  /// Waits until the fence has passed. Returns the failure of the stream.
  std::string wait(const std::shared_ptr<Fence>& fence);
  /// What has not begun is dropped.
  void abandon();
  bool dropped() const;

  void begin_capture();
  std::shared_ptr<Graph> end_capture();
  std::string launch(std::shared_ptr<Graph> graph);

 private:
  struct Item {
    Work work;
    bool always;
  };
  void push(Item item);
  std::string run(const Work& work);
  void loop();

  const bool at_once_;
  const std::function<void()> before_, after_;
  const int fails_at_;
  int ran_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable wake_, passed_;
  std::deque<Item> items_;
  std::shared_ptr<Graph> capture_;
  std::string failure_;
  bool abandoned_ = false, dropped_ = false, stop_ = false;
  std::thread thread_;
};

}  // namespace hb::simt
