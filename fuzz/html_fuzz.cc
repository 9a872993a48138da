// HTML: no crash, no overrun; what cleaning gives is on the allow-list, valid UTF-8, and stays the same when it is cleaned again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "html/html.h"
#include "html/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto demand = [](bool holds, const std::string& what) {
    if (holds) return;
    std::fprintf(stderr, "%s\n", what.c_str());
    std::abort();
  };
  constexpr std::string_view base = "https://e.example/a/b?c";
  const html::Cleaned once = html::clean(text, base);
  const std::string wrong = html::complaint(once.html);
  demand(wrong.empty(), wrong);
  const html::Cleaned twice = html::clean(once.html, base);
  demand(twice.html == once.html, "not stable:\n" + once.html + "\n---\n" + twice.html);
  demand(twice.text == once.text, "text not stable:\n" + once.text + "\n---\n" + twice.text);
  demand(is_valid_utf8(once.text) && is_valid_utf8(html::to_text(text)), "text not UTF-8");
  demand(is_valid_utf8(html::clean(text, base, {.resolve_only = true}).html), "raw not UTF-8");
  const html::Page page = html::read_page(text, base);
  for (const auto& link : page.links) demand(link.url.starts_with("http") && is_valid_utf8(link.title), "link " + link.url);
  return 0;
}
