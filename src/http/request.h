// What a client asks and what it gets, as plain data: the only HTTP types that handlers, tests and the command line see. Beast stays in server.cc.
//
// A body is Sealed: guard made it (engine/exits.h). A handler that forgets does not compile.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "types/sealed.h"

namespace weir::http {

enum class Method { get, head, post, put, patch, delete_, options, other };

std::string_view to_string(Method method);
Method method_named(std::string_view text);  // case counts, as in RFC 9110; what we do not know is `other`

struct Header {
  std::string name;  // lower case in requests; as it is to be written in responses
  std::string value;
};

struct Request {
  Method method = Method::get;
  std::string target = "/";  // path and query as they came, still percent-encoded
  std::vector<Header> headers;
  std::string body;
  std::string peer;    // the address at the other end of the socket, without its port
  bool local = false;  // by DIR/weir.sock or in this process: the operator

  // The first header of that name (lower case); empty when there is none.
  std::string_view header(std::string_view name) const;
};

// Server-sent events: the body of GET /events. The server opens it when the head is out and closes it when the client has gone or alive() says no.
struct EventStream {
  using Sink = std::function<void(Sealed<std::string>)>;  // may be called from any thread, must only queue
  // Returns what ends it when it is destroyed: after that the sink is not called any more.
  std::function<std::shared_ptr<void>(Sink)> open;
  std::function<bool()> alive;  // does what the client proved itself with still hold
};

struct Response {
  int status = 200;
  std::vector<Header> headers;  // without Content-Length, Connection and Date, which the server writes
  std::variant<std::monostate, Sealed<std::string>, EventStream> body;

  std::string_view header(std::string_view name) const;  // any case
  // The bytes of a body that is not a stream; for the server, tests and the command line, which write it out.
  std::string_view bytes() const;
};

}  // namespace weir::http
