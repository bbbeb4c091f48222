# orrery-promqltest: Prometheus' own PromQL acceptance scripts on the engine.
add_executable(orrery-promqltest ${CMAKE_CURRENT_LIST_DIR}/promqltest_main.c ${CMAKE_CURRENT_LIST_DIR}/promqltest_script.c
               ${CMAKE_CURRENT_LIST_DIR}/promqltest_load.c ${CMAKE_CURRENT_LIST_DIR}/promqltest_eval.c)
target_link_libraries(orrery-promqltest PRIVATE querier_engine common_lang common_model common_base)
add_test(NAME conformance.promqltest COMMAND orrery-promqltest ${ORR_CONFORMANCE_DIR}/promql)
set_tests_properties(conformance.promqltest PROPERTIES LABELS conformance SKIP_RETURN_CODE 77 TIMEOUT 600)
