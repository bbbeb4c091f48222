# orrery-conformance: the runner of the shared JSON-lines cases. Each kind_<name>.c holds the
# corpora of one folder there; add one by adding the file, and its library to the list below.
file(GLOB conformance_srcs CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.c)
add_executable(orrery-conformance ${conformance_srcs})
target_compile_definitions(orrery-conformance PRIVATE ORR_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
target_link_libraries(orrery-conformance PRIVATE orr_flags PkgConfig::JANSSON PkgConfig::OPENSSL)
# In the order of their dependencies; those that are not there (yet) are left out.
foreach(lib alertmanager ruler querier compactor ingester querier_engine common_template
        common_block common_lang common_model common_base)
  if(TARGET ${lib})
    target_link_libraries(orrery-conformance PRIVATE ${lib})
  endif()
endforeach()

# One test per kind. Where the shared folder is absent they count as skipped.
set(ORR_CONFORMANCE_DIR ${CMAKE_SOURCE_DIR}/../shared/conformance CACHE PATH
    "folder of the shared conformance cases")
file(GLOB conformance_kinds CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/kind_*.c)
foreach(src ${conformance_kinds})
  get_filename_component(kind ${src} NAME_WE)
  string(REPLACE "kind_" "" kind ${kind})
  string(REPLACE "_" "-" kind ${kind})
  add_test(NAME conformance.${kind}
           COMMAND orrery-conformance ${kind} ${ORR_CONFORMANCE_DIR}/${kind})
  set_tests_properties(conformance.${kind} PROPERTIES LABELS conformance SKIP_RETURN_CODE 77
                       TIMEOUT 600)
endforeach()

# The runner itself: a crash and a hang fail alone, known failures do not count, one that passes is
# reported.
add_test(NAME conformance.selftest
         COMMAND orrery-conformance selftest ${CMAKE_CURRENT_LIST_DIR}/selftest)
set_tests_properties(conformance.selftest PROPERTIES LABELS conformance TIMEOUT 60
    PASS_REGULAR_EXPRESSION "act-2: passes now.*act-4: hang.*act-7: crash: signal 6.*3 passed, 4 failed, 1 skipped")
