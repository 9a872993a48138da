// Guard over any bytes: spans stay inside the text, what an exit lets out is clean, and an item's verdict fits the item.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "guard/guard.h"

namespace {

void must(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir;
  static const guard::Guard guard;
  const std::string text(reinterpret_cast<const char*>(data), size);

  const Verdict verdict = guard.scan(text, "title");
  for (const Finding& finding : verdict.findings) must(finding.start < finding.end && finding.end <= text.size());
  const std::string sealed = guard.seal(guard::Exit::log, text).open();
  must(guard.scan(sealed).findings.empty());
  must((sealed == guard::withheld) == (verdict.action == Action::block || text == guard::withheld));
  must(verdict.findings.empty() ? sealed == text : sealed != text);
  const std::string shown = guard.seal(guard::Exit::reader, text).open();
  must(guard.seal(guard::Exit::reader, shown).open() == shown);

  Item item;
  item.title = text;
  item.url = text.substr(size / 2);
  item.tags = {text.substr(0, size / 2)};
  const Item out = guard.seal(guard::Exit::mail, item, guard.scan(item)).open();
  must(out.title == guard::redact(text, verdict, "title"));

  const auto back = guard::verdict_from_json(guard::to_json(verdict), verdict.policy);
  must(back && back->findings.size() == verdict.findings.size() && back->action == verdict.action);
  if (const auto json = parse_json(text)) (void)guard::verdict_from_json(*json, 1);
  return 0;
}
