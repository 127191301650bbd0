# The install tree: headers, licence, and the package that find_package(ergo) loads.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(ERGO_INSTALL_CMAKEDIR ${CMAKE_INSTALL_LIBDIR}/cmake/ergo)

# In the source tree include/ergo/kernels is a link to kernels/; installed, it is a folder.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/ergo DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp" PATTERN kernels EXCLUDE)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernels/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/ergo/kernels
        FILES_MATCHING PATTERN "*.cuh")
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/ergo)

install(TARGETS ergo ergo_data EXPORT ergo INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT ergo NAMESPACE ergo:: FILE ergo-targets.cmake DESTINATION ${ERGO_INSTALL_CMAKEDIR})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/ergo-config.cmake.in
                              ${PROJECT_BINARY_DIR}/ergo-config.cmake INSTALL_DESTINATION ${ERGO_INSTALL_CMAKEDIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ergo-config-version.cmake
                                 COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/ergo-config.cmake ${PROJECT_BINARY_DIR}/ergo-config-version.cmake
              ${CMAKE_CURRENT_LIST_DIR}/ergo_add_executable.cmake ${CMAKE_CURRENT_LIST_DIR}/ergo_compiled.cmake
        DESTINATION ${ERGO_INSTALL_CMAKEDIR})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/src DESTINATION ${ERGO_INSTALL_CMAKEDIR})
