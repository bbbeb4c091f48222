# tests/unit/<path>/<name>_test.c becomes the test program <name>_test, linked with the library of
# <path>. `ctest -L unit` runs them: those that take long first, so that they do not end alone.
add_library(orr_test_main OBJECT ${CMAKE_SOURCE_DIR}/tests/unit/test_main.c)
target_link_libraries(orr_test_main PUBLIC orr_flags PkgConfig::CMOCKA)
add_custom_target(unit_tests) # all of them
set(ORR_UNIT_LONG levelmerge store_far source_owned tierplan block_pages stepwise page_disk rpc store_tiers
                  head_replay head_cut wal segflush levels)
set(ORR_UNIT_TIMEOUT 120)
if(ORR_SANITIZE)
  set(ORR_UNIT_TIMEOUT 400) # some are ten times as slow
endif()
function(orr_unit_tests path lib)
  file(GLOB tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/${path}/*_test.c)
  foreach(src ${tests})
    get_filename_component(name ${src} NAME_WE)
    add_executable(${name} ${src})
    target_link_libraries(${name} PRIVATE orr_test_main ${lib} PkgConfig::CMOCKA)
    add_dependencies(unit_tests ${name})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
    add_test(NAME unit.${path}.${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(unit.${path}.${name} PROPERTIES LABELS unit TIMEOUT ${ORR_UNIT_TIMEOUT})
    string(REGEX REPLACE "_test$" "" stem ${name})
    if(stem IN_LIST ORR_UNIT_LONG)
      set_tests_properties(unit.${path}.${name} PROPERTIES COST 100)
    endif()
  endforeach()
endfunction()
