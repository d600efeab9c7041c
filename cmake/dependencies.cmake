# SPDX-License-Identifier: Apache-2.0
# Every foreign library, once. ARCHITECTURE.md says why each was chosen.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

function(cairn_pkg name module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
  add_library(cairn_dep_${name} INTERFACE)
  target_link_libraries(cairn_dep_${name} INTERFACE PkgConfig::${name})
endfunction()

cairn_pkg(sodium "libsodium>=1.0.18")
cairn_pkg(xxhash "libxxhash>=0.8.0") # the first whose XXH3 stays as it is
cairn_pkg(jansson "jansson>=2.14")
cairn_pkg(gcrypt "libgcrypt>=1.10")
cairn_pkg(microhttpd "libmicrohttpd>=0.9.75")
cairn_pkg(curl "libcurl>=7.88")
cairn_pkg(openblas "openblas>=0.3.21")
cairn_pkg(zlib "zlib")
cairn_pkg(minizip "minizip")
cairn_pkg(zstd "libzstd>=1.4.0") # the first with the stable parameter interface
if(CAIRN_TESTS)
  cairn_pkg(cmocka "cmocka>=1.1.5")
endif()

add_library(cairn_dep_threads INTERFACE)
target_link_libraries(cairn_dep_threads INTERFACE Threads::Threads)
add_library(cairn_dep_math INTERFACE)
target_link_libraries(cairn_dep_math INTERFACE m)
