#include "cli/embedded.h"

extern "C" const char weir_starter_opml[], weir_starter_opml_end[], weir_notices[], weir_notices_end[];

namespace weir::cli {

std::string_view starter_opml() { return {weir_starter_opml, static_cast<std::size_t>(weir_starter_opml_end - weir_starter_opml)}; }
std::string_view notices() { return {weir_notices, static_cast<std::size_t>(weir_notices_end - weir_notices)}; }

}  // namespace weir::cli
