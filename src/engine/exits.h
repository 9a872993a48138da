// The exits that doors have, by name: what leaves through one is sealed by the engine's guard with that exit's rule (guard/guard.h). Doors do not see
// guard itself. Any thread.
#pragma once

#include <string>
#include <string_view>

#include "engine/engine.h"
#include "types/item.h"
#include "types/sealed.h"
#include "types/verdict.h"

namespace weir {

Sealed<std::string> seal_answer(const Engine& engine, std::string body);  // to the reader whose things they are; credentials in URLs are cut
Sealed<std::string> seal_export(const Engine& engine, std::string body);  // OPML, files: findings are redacted
Sealed<std::string> seal_error(const Engine& engine, std::string body);   // findings are redacted
Sealed<std::string> seal_event(const Engine& engine, std::string body);   // findings are redacted
Sealed<std::string> seal_asset(const Engine& engine, std::string bytes);  // bytes of this program: nothing from outside
// An item for its own reader, by the verdict that is kept with it.
Sealed<Item> seal_item(const Engine& engine, Item item, const Verdict& verdict);

}  // namespace weir
