// What the sandboxed child does with a request: a line that says what is wanted, then any bytes. The answer is JSON within the parent's limits, and the
// whole way of a feed is in it: charset, XML, format, HTML, identity.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/json.h"
#include "engine/parse_child.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  for (const char* head :
       {"", "{\"kind\":\"feed\"}\n", "{\"kind\":\"page\",\"base_url\":\"https://e.example/a\"}\n", "{\"kind\":\"opml\"}\n", "{\"kind\":\"items\"}\n"}) {
    const auto answer = parse_json(handle_in_child(head + bytes), 300);
    CHECK(answer && answer->is_object());
    CHECK((find_object(answer->get_object(), "error") != nullptr) != answer->get_object().contains("value"));
  }
  return 0;
}
