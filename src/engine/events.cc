#include "engine/events.h"

namespace weir {
namespace {
constexpr std::size_t kept_events = 1000;
bool concerns(const Event& event, UserId user) { return !event.user || event.user == user; }
}  // namespace

std::uint64_t Events::publish(UserId user, std::string type, json::object data) {
  const std::scoped_lock lock(mutex_);
  kept_.push_back({next_id_++, user, std::move(type), std::move(data)});
  if (kept_.size() > kept_events) kept_.pop_front();
  for (const auto& [handle, listener] : listeners_)
    if (concerns(kept_.back(), listener.first)) listener.second(kept_.back());
  return kept_.back().id;
}

std::uint64_t Events::subscribe(UserId user, std::uint64_t last_id, Listener listener, bool* missed) {
  const std::scoped_lock lock(mutex_);
  if (missed) *missed = last_id != 0 && (last_id >= next_id_ || last_id + 1 < (kept_.empty() ? next_id_ : kept_.front().id));
  if (last_id != 0)
    for (const Event& event : kept_)
      if (event.id > last_id && concerns(event, user)) listener(event);
  listeners_[next_handle_] = {user, std::move(listener)};
  return next_handle_++;
}

void Events::unsubscribe(std::uint64_t handle) {
  const std::scoped_lock lock(mutex_);
  listeners_.erase(handle);
}

std::uint64_t Events::last_id() const {
  const std::scoped_lock lock(mutex_);
  return next_id_ - 1;
}

}  // namespace weir
