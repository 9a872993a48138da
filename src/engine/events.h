// What happened, told to who may know: new items, read marks, sources' health, encoding progress. The last 1,000 are kept, so that a client that comes
// back with Last-Event-ID misses nothing short of that. Any thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "base/id.h"
#include "base/json.h"

namespace weir {

struct Event {
  std::uint64_t id = 0;
  UserId user;        // whose event it is; none: everybody's
  std::string type;   // "items", "marks", "source", "progress"
  json::object data;  // ids, counts, states: no text from outside
};

class Events {
 public:
  using Listener = std::function<void(const Event&)>;  // called under the lock: must only queue

  // Ids begin at `first`, the time of the start in microseconds: so an id of an earlier start is never taken for one of this.
  explicit Events(std::uint64_t first = 1) : next_id_(first) {}

  std::uint64_t publish(UserId user, std::string type, json::object data);
  // Calls `listener` for what came after `last_id` (0: nothing old) and then for each new event of that user. Returns a handle for unsubscribe().
  // Sets `missed` when events between last_id and the oldest kept one are gone: the client must reload.
  std::uint64_t subscribe(UserId user, std::uint64_t last_id, Listener listener, bool* missed = nullptr);
  void unsubscribe(std::uint64_t handle);  // on return the listener is not running and will not be called
  std::uint64_t last_id() const;

 private:
  mutable std::mutex mutex_;
  std::uint64_t next_id_, next_handle_ = 1;
  std::deque<Event> kept_;
  std::map<std::uint64_t, std::pair<UserId, Listener>> listeners_;
};

}  // namespace weir
