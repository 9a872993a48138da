// Sealed<Payload>: what leaves Weir. Only guard can make one (it alone holds the key), so a door or a channel that forgot to ask guard does not compile;
// tests/compile_fail/ proves it. A door opens it on the last step, when it writes to the socket, file or terminal.
#pragma once

#include <utility>

namespace weir {

namespace guard {
class Guard;
}

class SealKey {
  friend class guard::Guard;
  explicit SealKey() {}
};

template <class Payload>
class Sealed {
 public:
  Sealed(SealKey, Payload payload) : payload_(std::move(payload)) {}
  const Payload& open() const& { return payload_; }
  Payload open() && { return std::move(payload_); }

 private:
  Payload payload_;
};

}  // namespace weir
