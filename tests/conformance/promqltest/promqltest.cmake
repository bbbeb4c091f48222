# orrery-promqltest: Prometheus' own PromQL acceptance scripts on the engine.
add_executable(orrery-promqltest ${CMAKE_CURRENT_LIST_DIR}/promqltest_main.c ${CMAKE_CURRENT_LIST_DIR}/promqltest_script.c
               ${CMAKE_CURRENT_LIST_DIR}/promqltest_load.c ${CMAKE_CURRENT_LIST_DIR}/promqltest_eval.c
               ${CMAKE_CURRENT_LIST_DIR}/promqltest_stored.c)
target_link_libraries(orrery-promqltest PRIVATE querier_store ingester_metrics querier_engine common_lang common_model common_base)
