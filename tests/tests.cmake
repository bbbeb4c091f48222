# Programs that test whole parts from outside; unit tests and fuzz targets come with orr_area().
include(tests/conformance/conformance.cmake)
include(tests/sim/sim.cmake)
include(tests/conformance/promqltest/promqltest.cmake)
include(tests/bench/bench.cmake)
