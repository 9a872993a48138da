#include "engine/exits.h"

#include <utility>

#include "guard/guard.h"

namespace weir {

using guard::Exit;

Sealed<std::string> seal_answer(const Engine& engine, std::string body) { return engine.guard().seal(Exit::reader, std::move(body)); }
Sealed<std::string> seal_export(const Engine& engine, std::string body) { return engine.guard().seal(Exit::export_file, std::move(body)); }
Sealed<std::string> seal_error(const Engine& engine, std::string body) { return engine.guard().seal(Exit::error, std::move(body)); }
Sealed<std::string> seal_event(const Engine& engine, std::string body) { return engine.guard().seal(Exit::event, std::move(body)); }
Sealed<std::string> seal_asset(const Engine& engine, std::string bytes) { return engine.guard().seal(Exit::asset, std::move(bytes)); }
Sealed<Item> seal_item(const Engine& engine, Item item, const Verdict& verdict) { return engine.guard().seal(Exit::reader, std::move(item), verdict); }

}  // namespace weir
