# Sources that come from packages, pinned in scripts/packages.lock and put into the cache by scripts/fetch. Built as they are, without our warnings.
if(DEFINED ENV{WEIR_CACHE})
  set(WEIR_CACHE $ENV{WEIR_CACHE})
else()
  set(WEIR_CACHE $ENV{HOME}/.cache/weir)
endif()
set(WEIR_DEPS ${WEIR_CACHE}/deps)

set(sqlite_dir ${WEIR_DEPS}/sqlite)
set(lexbor_dir ${WEIR_DEPS}/lexbor/source)
if(NOT EXISTS ${sqlite_dir}/sqlite3.c OR NOT EXISTS ${lexbor_dir}/lexbor)
  message(FATAL_ERROR "pinned sources are missing from ${WEIR_DEPS}: run scripts/bootstrap (or scripts/fetch build)")
endif()

add_library(weir_sqlite STATIC ${sqlite_dir}/sqlite3.c)
target_include_directories(weir_sqlite SYSTEM PUBLIC ${sqlite_dir})
target_compile_definitions(weir_sqlite PUBLIC SQLITE_ENABLE_FTS5 SQLITE_THREADSAFE=2 SQLITE_DQS=0 SQLITE_OMIT_LOAD_EXTENSION SQLITE_OMIT_DEPRECATED
  SQLITE_DEFAULT_MEMSTATUS=0 SQLITE_LIKE_DOESNT_MATCH_BLOBS SQLITE_USE_ALLOCA SQLITE_TEMP_STORE=2)
target_compile_options(weir_sqlite PRIVATE -w)
target_link_libraries(weir_sqlite PUBLIC m)

# html, dom, url, encoding, punycode, unicode: what html/ and base/ use of it.
set(lexbor_sources)
foreach(part core dom html ns tag encoding punycode unicode url ports/posix)
  file(GLOB_RECURSE part_sources ${lexbor_dir}/lexbor/${part}/*.c)
  list(APPEND lexbor_sources ${part_sources})
endforeach()
add_library(weir_lexbor STATIC ${lexbor_sources})
target_include_directories(weir_lexbor SYSTEM PUBLIC ${lexbor_dir})
target_compile_definitions(weir_lexbor PUBLIC LEXBOR_STATIC)
target_compile_options(weir_lexbor PRIVATE -w)
