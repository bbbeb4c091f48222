# The simulator: tests/sim/*_sim.c are the scenarios. `ctest -L sim` runs 10,000 seeds of each (fewer
# where the build is slow), and the tests of the test: code broken on purpose must be found out. A scenario that needs more than
# base and ring adds its library to ORR_SIM_LIBS.
if(ORR_SANITIZE)
  set(seeds 300)
elseif(CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(seeds 2000)
else()
  set(seeds 10000)
endif()
set(ORR_SIM_SEEDS ${seeds} CACHE STRING "seeds per scenario")
set(ORR_SIM_LIBS alertmanager common_ring common_wal compactor)
file(GLOB ORR_SIM_SOURCES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/sim/*.c)
add_executable(orrery-sim ${ORR_SIM_SOURCES})
target_link_libraries(orrery-sim PRIVATE ${ORR_SIM_LIBS})

file(GLOB sims CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/sim/*_sim.c)
foreach(src ${sims})
  get_filename_component(name ${src} NAME_WE)
  string(REPLACE "_sim" "" name ${name})
  math(EXPR half "${ORR_SIM_SEEDS} / 2")
  math(EXPR second "${half} + 1")
  foreach(from 1 ${second}) # halves, so that the longest scenario keeps two cores busy
    add_test(NAME sim.${name}.from-${from}
             COMMAND orrery-sim --scenario ${name} --from ${from} --seeds ${half})
    set_tests_properties(sim.${name}.from-${from} PROPERTIES LABELS sim TIMEOUT 1800)
  endforeach()
endforeach()

# orr_sim_break(SCENARIO WHAT): --break WHAT must lead to a violation in SCENARIO.
function(orr_sim_break scenario what)
  add_test(NAME sim.${scenario}.break-${what}
           COMMAND orrery-sim --scenario ${scenario} --seeds 1000 --break ${what} --expect-violation)
  set_tests_properties(sim.${scenario}.break-${what} PROPERTIES LABELS sim TIMEOUT 600)
endfunction()
orr_sim_break(quorum quorum)
orr_sim_break(quorum sync)
orr_sim_break(gossip left)
orr_sim_break(wal sync)
orr_sim_break(wal disk-sync)
orr_sim_break(wal disk-names)
orr_sim_break(flush drop-early)
orr_sim_break(compact delete-early)
orr_sim_break(compact no-fence)
orr_sim_break(compact no-retired)
orr_sim_break(compact split-apart)
orr_sim_break(dedup dedup)
orr_sim_break(dedup claim)
