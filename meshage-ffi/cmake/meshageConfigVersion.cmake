# The installed version, for find_package: that of the installed header. It is compatible with a
# request for the same major version (before 1.0, the same minor version) that is not later.

get_filename_component(_meshage_header "${CMAKE_CURRENT_LIST_DIR}/../../../include/meshage.h" ABSOLUTE)
file(STRINGS "${_meshage_header}" _meshage_line REGEX "^#define MESHAGE_VERSION_STRING ")
string(REGEX REPLACE ".*\"(.*)\".*" "\\1" PACKAGE_VERSION "${_meshage_line}")

string(REGEX MATCH "^(0\\.)?[0-9]+" _meshage_compatibility "${PACKAGE_VERSION}")
set(PACKAGE_VERSION_COMPATIBLE FALSE)
set(PACKAGE_VERSION_EXACT FALSE)
if(PACKAGE_FIND_VERSION_RANGE)
    if(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION_MIN
            AND (PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION_MAX
                OR (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "INCLUDE"
                    AND PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX)))
        set(PACKAGE_VERSION_COMPATIBLE TRUE)
    endif()
elseif(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION)
    string(REGEX MATCH "^(0\\.)?[0-9]+" _meshage_requested "${PACKAGE_FIND_VERSION}")
    if(_meshage_requested STREQUAL _meshage_compatibility OR PACKAGE_FIND_VERSION STREQUAL "0")
        set(PACKAGE_VERSION_COMPATIBLE TRUE)
    endif()
    if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
        set(PACKAGE_VERSION_EXACT TRUE)
    endif()
endif()
