# Programs that test whole parts from outside; unit tests and fuzz targets come with orr_area().
include(tests/conformance/conformance.cmake)
include(tests/sim/sim.cmake)
include(tests/conformance/promqltest/promqltest.cmake)
include(tests/bench/bench.cmake)

# Servers that tests/integration drives with other people's clients.
add_executable(grpc_peer tests/integration/grpc_peer.c)
target_link_libraries(grpc_peer PRIVATE common_net)
set_target_properties(grpc_peer PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
