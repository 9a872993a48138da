# The attention library for other programs: cmake --install build --component attention --prefix DIR. Then, with DIR in CMAKE_PREFIX_PATH:
#   find_package(weir 0.1 REQUIRED)
#   target_link_libraries(mine PRIVATE weir::attention)     and     #include <weir/attention/attention.h>
# One archive of what attention is made of (attention, math and base/result.cc): it needs the C++ library and nothing else, so fmt is compiled in.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

target_compile_definitions(weir_math PRIVATE FMT_HEADER_ONLY)
target_compile_definitions(weir_attention PRIVATE FMT_HEADER_ONLY)
add_library(weir_attention_archive STATIC $<TARGET_OBJECTS:weir_attention> $<TARGET_OBJECTS:weir_math> src/base/result.cc)
set_target_properties(weir_attention_archive PROPERTIES OUTPUT_NAME weir_attention EXPORT_NAME attention LINKER_LANGUAGE CXX)
target_include_directories(weir_attention_archive PRIVATE src INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_compile_features(weir_attention_archive INTERFACE cxx_std_23)

# Inside, we say "base/result.h", TRY and CHECK; installed it is "weir/base/result.h", WEIR_TRY and WEIR_CHECK: no name of ours meets one of the user's.
foreach(header attention/attention.h base/executor.h base/result.h math/view.h types/matrix.h)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS src/${header})
  file(READ src/${header} text)
  string(REGEX REPLACE "#include \"([a-z]+/)" "#include \"weir/\\1" text "${text}")
  string(REPLACE "WEIR_TRY(" "WEIR_TRY_AS(" text "${text}")
  string(REGEX REPLACE "([^A-Z_])(TRY|CHECK)\\(" "\\1WEIR_\\2(" text "${text}")
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/include/weir/${header} CONTENT "${text}" @ONLY)
endforeach()
install(DIRECTORY ${CMAKE_BINARY_DIR}/include/weir DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT attention)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/weir)
install(TARGETS weir_attention_archive EXPORT weirTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT attention)
install(EXPORT weirTargets NAMESPACE weir:: DESTINATION ${package} COMPONENT attention)
file(WRITE ${CMAKE_BINARY_DIR}/weirConfig.cmake "include(\"\${CMAKE_CURRENT_LIST_DIR}/weirTargets.cmake\")\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/weirConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/weirConfig.cmake ${CMAKE_BINARY_DIR}/weirConfigVersion.cmake DESTINATION ${package} COMPONENT attention)
