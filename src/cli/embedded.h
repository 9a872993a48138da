// Files that the program carries, as they were at its build.
#pragma once

#include <string_view>

namespace weir::cli {

std::string_view starter_opml();  // packaging/starter.opml: what an empty Weir offers to begin with
std::string_view notices();       // what Weir is made of, and under which licences (scripts/notices)

}  // namespace weir::cli
