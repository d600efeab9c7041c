# SPDX-License-Identifier: Apache-2.0
# Debian's cross compiler over the libraries that run.sh has unpacked, and qemu to run what it makes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)

# CMake reads this file again for its own trials, which know the environment and no cache.
set(CMAKE_SYSROOT $ENV{CAIRN_SYSROOT})
set(libraries ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
# OpenBLAS and BLAS are found through links that a package's scripts would make, and those are not run.
set(ENV{PKG_CONFIG_LIBDIR} ${libraries}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig:${libraries}/openblas-pthread/pkgconfig)
set(CMAKE_CROSSCOMPILING_EMULATOR
  qemu-aarch64;-L;${CMAKE_SYSROOT};-E;LD_LIBRARY_PATH=${libraries}/openblas-pthread:${libraries})
set(CMAKE_EXE_LINKER_FLAGS_INIT -Wl,-rpath-link,${libraries}:${libraries}/openblas-pthread)
set(CMAKE_SHARED_LINKER_FLAGS_INIT ${CMAKE_EXE_LINKER_FLAGS_INIT})

set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)
