# What Debian 12 provides, as interface targets. gRPC, Protobuf, Abseil and RE2 are linked statically (their shared
# objects triple an agent's memory); OpenSSL, SQLite, curl, spdlog and yaml-cpp come as shared packages.
find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(Protobuf REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(CURL REQUIRED)
find_package(spdlog CONFIG REQUIRED)
find_package(yaml-cpp CONFIG REQUIRED)
find_package(nlohmann_json CONFIG REQUIRED)
find_package(CLI11 CONFIG REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
pkg_check_modules(PQXX REQUIRED IMPORTED_TARGET libpqxx)
pkg_check_modules(PQ REQUIRED IMPORTED_TARGET libpq)

# The archives of one pkg-config package's static closure, as a linker group. Only names that exist as archives count.
function(quell_static_group target package)
  execute_process(COMMAND ${PKG_CONFIG_EXECUTABLE} --static --libs-only-l ${package}
                  OUTPUT_VARIABLE libs OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(libs UNIX_COMMAND "${libs}")
  list(REMOVE_DUPLICATES libs)
  set(archives "")
  foreach(lib ${libs})
    string(REGEX REPLACE "^-l" "" name "${lib}")
    find_library(QUELL_ARCHIVE_${name} NAMES lib${name}.a)
    if(QUELL_ARCHIVE_${name} AND NOT name MATCHES "^(ssl|crypto|z|dl|rt|atomic|pthread|m)$")
      list(APPEND archives ${QUELL_ARCHIVE_${name}})
    endif()
  endforeach()
  set(${target} "${archives}" PARENT_SCOPE)
endfunction()

quell_static_group(QUELL_GRPC_ARCHIVES grpc++)
set(QUELL_ABSL_ARCHIVES ${QUELL_GRPC_ARCHIVES})
list(FILTER QUELL_ABSL_ARCHIVES INCLUDE REGEX "libabsl_")
file(GLOB QUELL_ABSL_FURTHER /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/libabsl_*.a)
list(APPEND QUELL_ABSL_ARCHIVES ${QUELL_ABSL_FURTHER})
list(REMOVE_DUPLICATES QUELL_ABSL_ARCHIVES)
list(FILTER QUELL_GRPC_ARCHIVES EXCLUDE REGEX "libabsl_|libre2")
find_library(QUELL_RE2_ARCHIVE NAMES libre2.a REQUIRED)
find_library(QUELL_PROTOBUF_ARCHIVE NAMES libprotobuf.a REQUIRED)

add_library(quell_absl INTERFACE)
target_link_libraries(quell_absl INTERFACE -Wl,--start-group ${QUELL_ABSL_ARCHIVES} -Wl,--end-group Threads::Threads)
if(QUELL_SANITIZE STREQUAL "thread")
  # cmake/tsan/absl_mutex.cpp says why.
  add_library(quell_tsan OBJECT ${CMAKE_SOURCE_DIR}/cmake/tsan/absl_mutex.cpp)
  target_link_libraries(quell_absl INTERFACE $<TARGET_OBJECTS:quell_tsan>)
  foreach(symbol
      _ZN4absl7debian35Mutex4LockEv _ZN4absl7debian35Mutex7TryLockEv _ZN4absl7debian35Mutex6UnlockEv
      _ZN4absl7debian35Mutex5AwaitERKNS0_9ConditionE
      _ZN4absl7debian35Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE
      _ZN4absl7debian35Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE
      _ZN4absl7debian312Notification6NotifyEv _ZNK4absl7debian312Notification19WaitForNotificationEv
      _ZNK4absl7debian312Notification30WaitForNotificationWithTimeoutENS0_8DurationE
      _ZNK4absl7debian312Notification31WaitForNotificationWithDeadlineENS0_4TimeE)
    target_link_options(quell_absl INTERFACE -Wl,--wrap=${symbol})
  endforeach()
endif()
add_library(quell_re2 INTERFACE)
target_link_libraries(quell_re2 INTERFACE ${QUELL_RE2_ARCHIVE} Threads::Threads)
add_library(quell_protobuf INTERFACE)
target_link_libraries(quell_protobuf INTERFACE ${QUELL_PROTOBUF_ARCHIVE} ZLIB::ZLIB Threads::Threads)
find_package(ZLIB REQUIRED)
add_library(quell_grpc INTERFACE)
target_link_libraries(quell_grpc INTERFACE -Wl,--start-group ${QUELL_GRPC_ARCHIVES} -Wl,--end-group quell_re2 quell_absl
                      quell_protobuf OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB ${CMAKE_DL_LIBS} rt)
