# Compiler settings of the whole project: warnings are errors, hardening in release, sanitizers by option.
find_program(CCACHE ccache)
if(CCACHE)
  # Relative paths let build folders share one cache.
  set(launcher ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=time_macros ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()

add_compile_options(-Wall -Wextra -Werror -Wno-missing-field-initializers -fno-omit-frame-pointer -fstack-protector-strong)
if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
  add_compile_options(-Wthread-safety)
endif()
add_compile_definitions(_GLIBCXX_ASSERTIONS)
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O2 -g1 -D_FORTIFY_SOURCE=2")
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
add_compile_options(-ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections -Wl,-z,relro -Wl,-z,now -pie)
find_program(LLD ld.lld)
if(LLD)
  add_link_options(-fuse-ld=lld)
endif()

if(QUELL_SANITIZE STREQUAL "thread")
  # Protobuf's headers lay out a map field otherwise when they see this macro; Debian's library was compiled without it.
  add_compile_options(-U__SANITIZE_THREAD__)
endif()
if(QUELL_SANITIZE)
  add_compile_options(-fsanitize=${QUELL_SANITIZE} -fno-sanitize-recover=all)
  # The check of vptrs asks the kernel by a pipe whether an address can be read: where a test leaves a process no
  # descriptor, it takes every object for a bad one.
  add_compile_options(-fno-sanitize=vptr)
  add_link_options(-fsanitize=${QUELL_SANITIZE})
endif()
