# orrery-conformance: the runner of the shared JSON-lines cases. Each kind_<name>.c holds the
# corpora of one folder there; add one by adding the file, and its library to the list below.
file(GLOB conformance_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
add_executable(orrery-conformance ${conformance_srcs})
target_compile_definitions(orrery-conformance PRIVATE ORR_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_link_libraries(orrery-conformance PRIVATE orr_flags PkgConfig::JANSSON PkgConfig::OPENSSL)
# In the order of their dependencies; those that are not there (yet) are left out.
foreach(lib alertmanager ruler querier compactor ingester querier_traces common_traces querier_logs querier_engine common_logs common_template
        common_block common_lang common_model common_base)
  if(TARGET ${lib})
    target_link_libraries(orrery-conformance PRIVATE ${lib})
  endif()
endforeach()

add_dependencies(unit_tests orrery-conformance) # its self-test

# The corpora are scored by tests/conformance/run; this is the runner's own test.
add_test(NAME conformance.selftest
         COMMAND orrery-conformance selftest ${CMAKE_CURRENT_LIST_DIR}/selftest)
set_tests_properties(conformance.selftest PROPERTIES LABELS unit TIMEOUT 60
    PASS_REGULAR_EXPRESSION "act-2: passes now.*act-4: hang.*act-7: crash: signal 6.*3 passed, 4 failed, 1 skipped")
