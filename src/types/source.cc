#include "types/source.h"

namespace weir {

std::string_view to_string(SourceKind kind) { return kind == SourceKind::feed ? "feed" : "push"; }

std::string_view to_string(Health health) {
  switch (health) {
    case Health::ok: return "ok";
    case Health::failing: return "failing";
    case Health::gone: return "gone";
    case Health::quarantined: return "quarantined";
  }
  return "ok";
}

}  // namespace weir
