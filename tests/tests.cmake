# Programs that test whole parts from outside; unit tests and fuzz targets come with orr_area().
include(tests/conformance/conformance.cmake)
include(tests/sim/sim.cmake)
include(tests/conformance/promqltest/promqltest.cmake)
include(tests/bench/bench.cmake)

# Servers that tests/integration drives with other people's clients.
add_executable(grpc_peer tests/integration/grpc_peer.c)
target_link_libraries(grpc_peer PRIVATE common_net)
set_target_properties(grpc_peer PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)

# The contract of object stores on a real S3 server, which tests/integration/s3_store_test.py starts.
add_executable(s3_contract tests/integration/s3_contract.c tests/unit/test_main.c)
target_link_libraries(s3_contract PRIVATE common_objstore PkgConfig::CMOCKA)
set_target_properties(s3_contract PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
