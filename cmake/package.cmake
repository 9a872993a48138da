# What `cmake --install` puts where (component `server`), and the Debian package of it: `cmake --build build --target package`, or `cpack -G DEB` in the build
# folder. Configuration lives in /etc/weir/weir.toml, a conffile: only the package has it (component `debian`), so that no other installation leaves its
# prefix.
include(GNUInstallDirs)

install(TARGETS weir RUNTIME COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/weir.service DESTINATION lib/systemd/system COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/weir.toml DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT server)
install(FILES ${CMAKE_BINARY_DIR}/notices.txt DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME THIRD_PARTY COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/debian/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT server)

# The commands complete themselves: the scripts are asked of the program that is installed.
install(CODE "set(weir ${CMAKE_BINARY_DIR}/weir)\nset(completions ${CMAKE_BINARY_DIR}/completions)" COMPONENT server)
install(CODE [[
  foreach(shell bash zsh fish)
    execute_process(COMMAND ${weir} completion ${shell} OUTPUT_FILE ${completions}.${shell} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()]] COMPONENT server)
install(FILES ${CMAKE_BINARY_DIR}/completions.bash DESTINATION share/bash-completion/completions RENAME weir COMPONENT server)
install(FILES ${CMAKE_BINARY_DIR}/completions.zsh DESTINATION share/zsh/vendor-completions RENAME _weir COMPONENT server)
install(FILES ${CMAKE_BINARY_DIR}/completions.fish DESTINATION share/fish/vendor_completions.d RENAME weir.fish COMPONENT server)
install(FILES ${CMAKE_SOURCE_DIR}/packaging/weir.toml DESTINATION /etc/weir COMPONENT debian EXCLUDE_FROM_ALL)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME weir)
set(CPACK_PACKAGE_CONTACT "Weir maintainers <weir@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "reads feeds for you, works out what deserves your attention, and says why")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL server debian)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)  # asks dpkg-shlibdeps, of dpkg-dev
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/packaging/debian/conffiles ${CMAKE_SOURCE_DIR}/packaging/debian/postinst
    ${CMAKE_SOURCE_DIR}/packaging/debian/prerm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
