# Benchmark programs; tests/bench/run runs them. <name>_bench.c that name their libraries here.
function(orr_bench name)
  if(EXISTS ${CMAKE_SOURCE_DIR}/tests/bench/${name}.c)
    add_executable(${name} ${CMAKE_SOURCE_DIR}/tests/bench/${name}.c)
    target_link_libraries(${name} PRIVATE ${ARGN})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
    if(NOT ORR_SANITIZE)
      target_link_libraries(${name} PRIVATE PkgConfig::JEMALLOC)
    endif()
  endif()
endfunction()

orr_bench(rwload common_base PkgConfig::SNAPPY)
orr_bench(limits_bench common_base)
