# quell_room(NAME SOURCES … DEPS …)      one static library per room, named quell_<NAME>
# quell_program(NAME SOURCES … DEPS …)   a program
# quell_test(NAME SOURCES … DEPS … [LABELS …] [TIMEOUT s])   a GoogleTest binary, one ctest entry
function(quell_room name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_library(quell_${name} STATIC ${A_SOURCES})
  target_include_directories(quell_${name} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(quell_${name} PUBLIC ${A_DEPS} quell_absl)
endfunction()

function(quell_program name)
  cmake_parse_arguments(A "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} quell_absl)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endfunction()

function(quell_test name)
  cmake_parse_arguments(A "" "TIMEOUT" "SOURCES;DEPS;LABELS" ${ARGN})
  add_executable(${name} ${A_SOURCES})
  target_link_libraries(${name} PRIVATE ${A_DEPS} GTest::gmock GTest::gtest_main quell_absl)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_compile_definitions(${name} PRIVATE QUELL_SOURCE_DIR="${CMAKE_SOURCE_DIR}" QUELL_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_test(NAME ${name} COMMAND ${name})
  if(NOT A_TIMEOUT)
    set(A_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${A_TIMEOUT} LABELS "${A_LABELS}")
endfunction()
