# Files into the program: cmake -D DIR=… -D OUT=… -P embed.cmake writes OUT/embedded.S (.incbin of every file below DIR: no cost by size, read-only) and
# OUT/embedded.cc (the table weir::http::embedded_assets(): path, bytes, and the .br and .gz beside it). A missing DIR gives an empty table. Both are
# only touched when something changed; the sums in embedded.S are what makes it change with a file's bytes.
file(GLOB_RECURSE files RELATIVE "${DIR}" "${DIR}/*")
list(SORT files)
set(assembly "    .section .rodata\n")
set(externs "")
set(rows "")
set(number 0)

macro(embed name)
  file(SHA256 "${DIR}/${name}" sum)
  string(APPEND assembly "    .balign 16\n    .global weir_asset_${number}\n    .global weir_asset_${number}_end\n"
    "weir_asset_${number}: .incbin \"${DIR}/${name}\"\nweir_asset_${number}_end: .byte 0  # ${sum}\n")
  string(APPEND externs "extern const char weir_asset_${number}[], weir_asset_${number}_end[];\n")
  set(view "{weir_asset_${number}, static_cast<std::size_t>(weir_asset_${number}_end - weir_asset_${number})}")
  math(EXPR number "${number} + 1")
endmacro()

foreach(file IN LISTS files)
  if(file MATCHES "\\.(br|gz)$")
    continue()
  endif()
  embed("${file}")
  set(row "${view}")
  foreach(form br gz)
    if(EXISTS "${DIR}/${file}.${form}")
      embed("${file}.${form}")
      string(APPEND row ", ${view}")
    else()
      string(APPEND row ", {}")
    endif()
  endforeach()
  string(APPEND rows "      {\"${file}\", ${row}},\n")
endforeach()

string(CONCAT table "#include <cstddef>\n#include <span>\n#include <vector>\n\n#include \"http/assets.h\"\n\nextern \"C\" {\n${externs}}\n\nnamespace weir::http {\n\n"
  "std::span<const EmbeddedAsset> embedded_assets();\nstd::span<const EmbeddedAsset> embedded_assets() {\n"
  "  static const std::vector<EmbeddedAsset> table{\n${rows}  };\n  return table;\n}\n\n}  // namespace weir::http\n")
string(APPEND assembly "    .section .note.GNU-stack,\"\",@progbits\n")

foreach(part assembly:S table:cc)
  string(REPLACE ":" ";" part "${part}")
  list(GET part 0 variable)
  list(GET part 1 ending)
  file(CONFIGURE OUTPUT "${OUT}/embedded.${ending}" CONTENT "${${variable}}" @ONLY)  # leaves an unchanged file alone
endforeach()
