// Result<T>: a value or an Error. What the outside can cause is returned as an Error; what only we can cause is a CHECK.
//
//   Result<Feed> read(std::string_view path) {
//     std::string bytes = TRY(read_file(path));
//     if (bytes.empty()) return fail(Code::malformed, "the file is empty", path, "give a feed");
//     return parse(bytes);
//   }
#pragma once

#include <concepts>
#include <expected>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weir {

enum class Code {
  invalid,       // the caller's arguments do not fit
  not_found,     // no such file, row, model, user
  exists,        // it is there already
  unauthorised,  // who are you
  forbidden,     // not yours, or not with this scope
  malformed,     // bytes from outside that do not parse
  not_a_feed,    // they parse, as something else
  too_large,     // a limit on bytes, items, fields
  too_deep,      // a limit on nesting
  encoding,      // a charset that is not what it says
  refused,       // allowed by nobody here: an address, an architecture, a newer database
  corrupt,       // a file of ours, or a model, that lies about itself
  io,            // disk, pipe, socket
  timeout,       // a deadline passed
  crashed,       // a child did not survive
  unavailable,   // not now: full, busy, shutting down
  internal,      // our mistake
};

std::string_view to_string(Code code);

// A sentence of ours that a reader may want in another language: its English text, the key that names it for good, and the values that stand in it.
//
//   say("http_status", "the server answered {status}", {{"status", 404}})
//
// For each key the page has the same sentence in Chinese (src/ui/src/says.zh.json); a test reads these calls and looks for it. A key whose meaning
// changes gets a new name: keys are kept in databases.
struct Value {
  std::string name, text;
  Value(std::string_view called, std::string_view value) : name(called), text(value) {}
  template <std::integral T>
  Value(std::string_view called, T number) : name(called), text(std::to_string(number)) {}
};

struct Sentence {
  std::string text, key;
  std::vector<Value> values;
};

Sentence say(std::string_view key, std::string_view english, std::initializer_list<Value> values = {});
// The same where the English text comes from elsewhere, and the other language says only what the key says.
inline Sentence named(std::string_view key, std::string text) { return {std::move(text), std::string(key), {}}; }

struct Error {
  Code code = Code::internal;
  std::string message;  // what was expected and what was found, one sentence, no trailing full stop
  std::string where;    // file, "file:line", URL, field, id; may be empty
  std::string remedy;   // what the person can do; may be empty

  // What `message` and `remedy` together are called, when they have a name: as in Sentence.
  std::string key{};
  std::vector<Value> values{};

  // "where: message (remedy)", with the parts that are there.
  std::string text() const;
};

template <class T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

inline Error failure(Code code, Sentence what, std::string where = {}, std::string remedy = {}) {
  return {code, std::move(what.text), std::move(where), std::move(remedy), std::move(what.key), std::move(what.values)};
}
inline std::unexpected<Error> fail(Code code, std::string message, std::string where = {}, std::string remedy = {}) {
  return std::unexpected(Error{code, std::move(message), std::move(where), std::move(remedy)});
}
inline std::unexpected<Error> fail(Code code, Sentence what, std::string where = {}, std::string remedy = {}) {
  return std::unexpected(failure(code, std::move(what), std::move(where), std::move(remedy)));
}

namespace detail {
template <class T>
T unwrap(Result<T>&& result) {
  return std::move(*result);
}
inline void unwrap(Result<void>&&) {}
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace detail

// The value of a Result, or return its Error from this function. A statement expression: g++ and clang have it.
#define TRY(expression) WEIR_TRY_NAMED(expression, __COUNTER__)
#define WEIR_TRY_NAMED(expression, number) WEIR_TRY(expression, number)
#define WEIR_TRY(expression, number)                                                      \
  __extension__({                                                                         \
    auto weir_try_##number = (expression);                                                \
    if (!weir_try_##number) return std::unexpected(std::move(weir_try_##number.error())); \
    ::weir::detail::unwrap(std::move(weir_try_##number));                                 \
  })

// What only our own code can get wrong. Always on; never reachable by input from outside.
#define CHECK(condition) ((condition) ? void(0) : ::weir::detail::check_failed(#condition, __FILE__, __LINE__))

}  // namespace weir
