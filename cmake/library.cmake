# SPDX-License-Identifier: Apache-2.0
# libcairn: the parts below the roles, as a library for other programs. Both forms show cairn_* and
# nothing else: what is not marked CAIRN_API is compiled hidden, and stays so in the static one.
include(GNUInstallDirs)

set(CAIRN_LIBRARY_PARTS base cpu wire kern ring model he seal fed)
set(CAIRN_LIBRARY_MAP ${PROJECT_SOURCE_DIR}/src/lib/libcairn.map)

# ---- shared; SOVERSION is raised when a public header changes so that old programs break ----
add_library(cairn_shared SHARED $<TARGET_OBJECTS:cairn_lib> $<TARGET_OBJECTS:cairn_files>)
set_target_properties(cairn_shared PROPERTIES OUTPUT_NAME cairn LINKER_LANGUAGE C
  VERSION ${PROJECT_VERSION} SOVERSION 0 LINK_DEPENDS ${CAIRN_LIBRARY_MAP})
# first, so that it holds for all: fed names more than the one file of it that is taken
target_link_options(cairn_shared PRIVATE -Wl,--as-needed -Wl,-z,relro,-z,now
  -Wl,--version-script=${CAIRN_LIBRARY_MAP})
target_include_directories(cairn_shared INTERFACE ${PROJECT_SOURCE_DIR}/include)
foreach(part ${CAIRN_LIBRARY_PARTS})
  target_link_libraries(cairn_shared PRIVATE cairn_${part})
endforeach()
if(CAIRN_SANITIZE)
  target_link_options(cairn_shared PRIVATE -fsanitize=${CAIRN_SANITIZE})
endif()

# ---- static: all parts in one object, whose hidden names are made local ----
set(static_objects "")
foreach(part ${CAIRN_LIBRARY_PARTS})
  list(APPEND static_objects $<TARGET_FILE:cairn_${part}>)
  list(APPEND static_targets cairn_${part})
endforeach()
add_custom_command(OUTPUT libcairn.a
  COMMAND ${CMAKE_LINKER} -r -o libcairn.o --whole-archive $<TARGET_FILE:cairn_lib>
    $<TARGET_FILE:cairn_files> --no-whole-archive --start-group ${static_objects} --end-group
  COMMAND ${CMAKE_OBJCOPY} --localize-hidden libcairn.o
  COMMAND ${CMAKE_COMMAND} -E rm -f libcairn.a
  COMMAND ${CMAKE_AR} rcs libcairn.a libcairn.o
  DEPENDS cairn_lib cairn_files ${static_targets}
  COMMENT "Joining libcairn.a" VERBATIM)
add_custom_target(cairn_static ALL DEPENDS libcairn.a)

# ---- what others find ----
file(RELATIVE_PATH CAIRN_PC_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${PROJECT_SOURCE_DIR}/cmake/cairn.pc.in cairn.pc @ONLY)
install(TARGETS cairn_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/libcairn.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES ${PROJECT_BINARY_DIR}/cairn.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/cairn DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
