# One place for the language, the warnings and the sanitizers. Never -ffast-math, never -march=native (docs: design.md §5).
set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
# -O2, not -O3: g++ 12 spills vector kernels at -O3. -g1 keeps line tables for back traces and half the object size.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -DNDEBUG")

set(WEIR_SANITIZE "" CACHE STRING "address,undefined | thread | fuzzer")
option(WEIR_TESTS "build tests and benches: needs what `scripts/bootstrap test` installs" ON)
option(WEIR_FUZZ "build the fuzz targets with libFuzzer (clang); otherwise they replay their corpus" OFF)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()
find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fno-math-errno>)
if(WEIR_SANITIZE)
  add_compile_options($<$<NOT:$<COMPILE_LANGUAGE:ASM>>:-fsanitize=${WEIR_SANITIZE}> $<$<NOT:$<COMPILE_LANGUAGE:ASM>>:-fno-omit-frame-pointer>)
  add_link_options(-fsanitize=${WEIR_SANITIZE})
  if(WEIR_SANITIZE MATCHES undefined)
    add_compile_options($<$<NOT:$<COMPILE_LANGUAGE:ASM>>:-fno-sanitize-recover=undefined>)
  endif()
else()
  add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:RelWithDebInfo>>:-D_FORTIFY_SOURCE=2>)
endif()
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-D_GLIBCXX_ASSERTIONS> $<$<NOT:$<COMPILE_LANGUAGE:ASM>>:-fstack-protector-strong>)
add_link_options(-Wl,-z,relro,-z,now)

# Our own code: every warning is an error. Third-party headers come in as SYSTEM.
set(WEIR_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers -Werror)
# g++ 12 warns falsely here: std::string and std::vector moved inside std::expected (PR 105329, 105562).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND WEIR_WARNINGS -Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-stringop-overread -Wno-array-bounds -Wno-dangling-pointer)
endif()
# Asio has a fence, which g++ says that ThreadSanitizer does not see; everything that is ordered by it is ordered by a mutex or a queue too.
if(WEIR_SANITIZE MATCHES thread AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
  list(APPEND WEIR_WARNINGS -Wno-tsan)
endif()
# clang 19 over libstdc++ 12: std::stable_sort itself uses what the library calls deprecated. Braces around every row of a table of arrays say nothing.
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  list(APPEND WEIR_WARNINGS -Wno-deprecated-declarations -Wno-missing-braces)
endif()
