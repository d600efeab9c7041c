# SPDX-License-Identifier: Apache-2.0
# How a part, a test and a fuzz target are declared.

add_library(cairn_options INTERFACE)
target_compile_options(cairn_options INTERFACE
  -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -fno-strict-aliasing -ffp-contract=off -fstack-protector-strong -fvisibility=hidden
  $<$<CONFIG:Release>:-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2>)
target_compile_definitions(cairn_options INTERFACE _GNU_SOURCE CAIRN_VERSION="${PROJECT_VERSION}")
target_include_directories(cairn_options INTERFACE ${PROJECT_SOURCE_DIR}/include)
target_link_options(cairn_options INTERFACE -Wl,-z,relro,-z,now)
if(CAIRN_SANITIZE)
  target_compile_options(cairn_options INTERFACE
    -fsanitize=${CAIRN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(cairn_options INTERFACE -fsanitize=${CAIRN_SANITIZE})
endif()

# cairn_link(target USES parts... SYSTEM libraries...)
function(cairn_link target)
  cmake_parse_arguments(ARG "" "" "USES;SYSTEM" ${ARGN})
  target_link_libraries(${target} PRIVATE cairn_options)
  foreach(part ${ARG_USES})
    target_link_libraries(${target} PRIVATE cairn_${part})
  endforeach()
  foreach(lib ${ARG_SYSTEM})
    target_link_libraries(${target} PRIVATE cairn_dep_${lib})
  endforeach()
endfunction()

# One static library per folder of src/. Its headers are visible to exactly
# those who name it in USES.
function(cairn_part name)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${name}/*.c)
  add_library(cairn_${name} STATIC ${sources})
  set_target_properties(cairn_${name} PROPERTIES LINKER_LANGUAGE C)
  target_include_directories(cairn_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src/${name})
  cairn_link(cairn_${name} ${ARGN})
endfunction()

# The rungs of cairn_kern that want instructions which the rest of the program must not use.
function(cairn_kern_rungs)
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    return()
  endif()
  set(folder ${PROJECT_SOURCE_DIR}/src/kern/x86)
  target_sources(cairn_kern PRIVATE ${folder}/kern_avx2.c ${folder}/kern_avx512.c)
  target_compile_definitions(cairn_kern PRIVATE KERN_X86)
  set_source_files_properties(${folder}/kern_avx2.c PROPERTIES COMPILE_OPTIONS "-mavx2;-mfma")
  set_source_files_properties(${folder}/kern_avx512.c PROPERTIES COMPILE_OPTIONS
    "-mavx2;-mfma;-mavx512f;-mavx512dq;-mavx512vl;-mavx512bw;-mavx512vbmi;-mavx512vpopcntdq")
endfunction()

# cairn_test(name source USES parts... SYSTEM libraries... LABEL label)
function(cairn_test name source)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "" ${ARGN})
  add_executable(${name} ${source})
  cairn_link(${name} ${ARG_UNPARSED_ARGUMENTS})
  target_link_libraries(${name} PRIVATE cairn_dep_cmocka)
  target_compile_definitions(${name} PRIVATE CAIRN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT ARG_LABEL)
    set(ARG_LABEL fast)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS ${ARG_LABEL} TIMEOUT ${ARG_TIMEOUT})
endfunction()
