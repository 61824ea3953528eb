# libmeshage for CMake. After find_package(meshage 0.1 REQUIRED), link one of
#
#   meshage::shared   the shared library
#   meshage::static   the static library, with the system libraries that it requires
#
# Both add the include folder of meshage.h and meshage.hpp. All paths are relative to this file, so
# that an installation can be moved.

get_filename_component(_meshage_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

# An installation with another library folder sets meshage_LIBDIR in the first line of this file.
set(_meshage_libdir "")
foreach(_meshage_candidate IN ITEMS
        "${meshage_LIBDIR}" lib "lib/${CMAKE_LIBRARY_ARCHITECTURE}" lib64)
    get_filename_component(_meshage_candidate "${_meshage_candidate}" ABSOLUTE
        BASE_DIR "${_meshage_prefix}")
    if(EXISTS "${_meshage_candidate}/pkgconfig/meshage.pc")
        set(_meshage_libdir "${_meshage_candidate}")
        break()
    endif()
endforeach()

if(NOT TARGET meshage::shared AND EXISTS "${_meshage_libdir}/libmeshage.so")
    add_library(meshage::shared SHARED IMPORTED)
    set_target_properties(meshage::shared PROPERTIES
        IMPORTED_LOCATION "${_meshage_libdir}/libmeshage.so"
        INTERFACE_INCLUDE_DIRECTORIES "${_meshage_prefix}/include")
endif()

if(NOT TARGET meshage::static AND EXISTS "${_meshage_libdir}/libmeshage.a")
    # The system libraries that the static library requires are listed in meshage.pc.
    file(STRINGS "${_meshage_libdir}/pkgconfig/meshage.pc" _meshage_system REGEX "^Libs.private: ")
    string(REPLACE "Libs.private: " "" _meshage_system "${_meshage_system}")
    separate_arguments(_meshage_system UNIX_COMMAND "${_meshage_system}")
    add_library(meshage::static STATIC IMPORTED)
    set_target_properties(meshage::static PROPERTIES
        IMPORTED_LOCATION "${_meshage_libdir}/libmeshage.a"
        INTERFACE_LINK_LIBRARIES "${_meshage_system}"
        INTERFACE_INCLUDE_DIRECTORIES "${_meshage_prefix}/include")
endif()

# find_package(meshage COMPONENTS static) requires one of the two; otherwise either is sufficient.
foreach(_meshage_component IN ITEMS ${meshage_FIND_COMPONENTS})
    if(TARGET meshage::${_meshage_component})
        set(meshage_${_meshage_component}_FOUND TRUE)
    elseif(meshage_FIND_REQUIRED_${_meshage_component})
        set(meshage_FOUND FALSE)
        set(meshage_NOT_FOUND_MESSAGE "there is no meshage::${_meshage_component}")
    endif()
endforeach()
if(NOT TARGET meshage::shared AND NOT TARGET meshage::static)
    set(meshage_FOUND FALSE)
    set(meshage_NOT_FOUND_MESSAGE "no library is installed below ${_meshage_prefix}")
endif()
