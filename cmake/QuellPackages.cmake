# quell-agent, quell-controller and quell-cli as .deb and .rpm: `cmake --build DIR --target packages` leaves them in
# DIR/packages. Another version of what was built: cpack --config DIR/CPackConfig.cmake -D CPACK_PACKAGE_VERSION=X.
set(QUELL_MAINTAINER "quell developers <quell@quell.example>")
set(packaging ${CMAKE_SOURCE_DIR}/deploy/packages)
set(made ${CMAKE_BINARY_DIR}/packaging)
find_program(GZIP gzip)

# What a package is: its component's name, sentence, units, users, and what `purge` removes besides its files.
set(QUELL_SUMMARY_agent "measures a host, tells a quell controller, does what is sanctioned")
set(QUELL_SUMMARY_controller "watches a fleet of servers, declares incidents, issues remedies")
set(QUELL_SUMMARY_cli "command line of quell")
set(QUELL_UNITS_agent "quell-agent.service quell-executor.service")
set(QUELL_UNITS_controller "quell-controller.service")
set(QUELL_USERS_agent "quell-agent quell-remedy")
set(QUELL_USERS_controller "quell-controller")
string(JOIN " " QUELL_STATE_agent /var/lib/quell-agent /var/lib/quell-executor /run/quell /etc/quell/agent.key
       /etc/quell/agent.key.enrolling
       /etc/quell/agent.crt /etc/quell/trust.bundle /etc/quell/root.pin /etc/quell/host-id /etc/quell/sanctions.d
       /etc/quell/hold)
string(JOIN " " QUELL_STATE_controller /var/lib/quell-controller /run/quell-controller /etc/quell/pki /etc/quell/rules.d
       /etc/quell/policies.d)
set(QUELL_CREATE_agent "systemd-tmpfiles --create quell-agent.conf || true")
set(QUELL_CREATE_controller "")

# ---- what goes where -------------------------------------------------------------------------------------------------
set(doc share/doc)
install(TARGETS quell-agent RUNTIME DESTINATION bin COMPONENT agent)
install(TARGETS quell-executor quell-worker quell-pm2-reader RUNTIME DESTINATION lib/quell COMPONENT agent)
install(TARGETS quell-controller RUNTIME DESTINATION bin COMPONENT controller)
install(TARGETS quell RUNTIME DESTINATION bin COMPONENT cli)

install(FILES ${packaging}/systemd/quell-agent.service ${packaging}/systemd/quell-executor.service
        DESTINATION lib/systemd/system COMPONENT agent)
install(FILES ${packaging}/systemd/quell-controller.service DESTINATION lib/systemd/system COMPONENT controller)
install(FILES ${packaging}/tmpfiles/quell-agent.conf DESTINATION lib/tmpfiles.d COMPONENT agent)
install(FILES ${packaging}/etc/agent.yaml ${packaging}/etc/sanctions.yaml DESTINATION /etc/quell COMPONENT agent)
install(FILES ${packaging}/etc/controller.yaml DESTINATION /etc/quell COMPONENT controller)

set(deploy ${CMAKE_SOURCE_DIR}/deploy)
install(DIRECTORY ${deploy}/postgres DESTINATION share/quell COMPONENT agent)
install(DIRECTORY ${deploy}/rules/ DESTINATION share/quell/rules.d COMPONENT controller)
install(DIRECTORY ${deploy}/policies/ DESTINATION share/quell/policies.d COMPONENT controller)
install(FILES ${deploy}/examples/agent.yaml ${deploy}/examples/sanctions.yaml
        DESTINATION ${doc}/quell-agent/examples COMPONENT agent)
install(FILES ${deploy}/examples/controller.yaml ${deploy}/examples/catalogue.yaml ${deploy}/examples/policies/portal.yaml
        DESTINATION ${doc}/quell-controller/examples COMPONENT controller)

# compressed(FROM TO): FROM, as gzip makes it the same each time.
function(quell_compressed from to)
  add_custom_command(OUTPUT ${to} COMMAND ${GZIP} -9nc ${from} > ${to} DEPENDS ${from} VERBATIM)
endfunction()

set(package_files "")

# described(PROGRAM COMPONENT SECTION [SHELLS]): its manual page, and with SHELLS completion, of what its --help knows.
function(quell_described program component section)
  set(page ${made}/${program}.${section})
  add_custom_command(OUTPUT ${page} COMMAND $<TARGET_FILE:${program}> --man > ${page} DEPENDS ${program} VERBATIM)
  quell_compressed(${page} ${page}.gz)
  install(FILES ${page}.gz DESTINATION share/man/man${section} COMPONENT ${component})
  set(files ${page}.gz)
  if("SHELLS" IN_LIST ARGN)
    foreach(shell bash zsh)
      set(script ${made}/${program}.${shell})
      add_custom_command(OUTPUT ${script} COMMAND $<TARGET_FILE:${program}> --completion-${shell} > ${script}
                         DEPENDS ${program} VERBATIM)
      list(APPEND files ${script})
    endforeach()
    install(FILES ${made}/${program}.bash DESTINATION share/bash-completion/completions RENAME ${program}
            COMPONENT ${component})
    install(FILES ${made}/${program}.zsh DESTINATION share/zsh/vendor-completions RENAME _${program} COMPONENT ${component})
  endif()
  set(package_files ${package_files} ${files} PARENT_SCOPE)
endfunction()
quell_described(quell-agent agent 8 SHELLS)
quell_described(quell-executor agent 8)
quell_described(quell-controller controller 8)
quell_described(quell cli 1 SHELLS)

foreach(component agent controller cli)
  set(PACKAGE_NAME quell-${component})
  set(PACKAGE_UNITS "${QUELL_UNITS_${component}}")
  set(PACKAGE_USERS "${QUELL_USERS_${component}}")
  set(PACKAGE_STATE "${QUELL_STATE_${component}}")
  set(CREATE_FILES "${QUELL_CREATE_${component}}")
  set(PACKAGE_VERSION ${PROJECT_VERSION}-1)
  set(folder ${made}/${component})
  configure_file(${packaging}/changelog.in ${folder}/changelog @ONLY)
  quell_compressed(${folder}/changelog ${folder}/changelog.Debian.gz)
  list(APPEND package_files ${folder}/changelog.Debian.gz)
  install(FILES ${folder}/changelog.Debian.gz ${packaging}/copyright
          DESTINATION ${doc}/${PACKAGE_NAME} COMPONENT ${component})

  configure_file(${packaging}/lintian-overrides.in ${folder}/lintian-overrides @ONLY)
  install(FILES ${folder}/lintian-overrides DESTINATION share/lintian/overrides RENAME ${PACKAGE_NAME} COMPONENT ${component})

  string(TOUPPER ${component} C)
  set(CPACK_DEBIAN_${C}_PACKAGE_NAME ${PACKAGE_NAME})
  set(CPACK_RPM_${C}_PACKAGE_NAME ${PACKAGE_NAME})
  set(CPACK_DEBIAN_${C}_FILE_NAME DEB-DEFAULT)
  set(CPACK_RPM_${C}_FILE_NAME RPM-DEFAULT)
  string(SUBSTRING "${QUELL_SUMMARY_${component}}" 0 1 first)
  string(SUBSTRING "${QUELL_SUMMARY_${component}}" 1 -1 rest)
  string(TOUPPER ${first} first)
  set(CPACK_RPM_${C}_PACKAGE_SUMMARY "${first}${rest}")
  file(READ ${packaging}/description-${component} CPACK_COMPONENT_${C}_DESCRIPTION)
  set(CPACK_DEBIAN_${C}_DESCRIPTION "${QUELL_SUMMARY_${component}}\n${CPACK_COMPONENT_${C}_DESCRIPTION}")
  set(CPACK_RPM_${C}_PACKAGE_DESCRIPTION "${CPACK_COMPONENT_${C}_DESCRIPTION}")
  set(scripts preinst)
  if(PACKAGE_UNITS)
    list(APPEND scripts postinst prerm postrm)
    install(FILES ${packaging}/sysusers/${PACKAGE_NAME}.conf DESTINATION lib/sysusers.d COMPONENT ${component})
    foreach(script post preun postun)
      configure_file(${packaging}/scripts/rpm-${script}.in ${folder}/rpm-${script} @ONLY)
    endforeach()
    set(CPACK_RPM_${C}_POST_INSTALL_SCRIPT_FILE ${folder}/rpm-post)
    set(CPACK_RPM_${C}_PRE_UNINSTALL_SCRIPT_FILE ${folder}/rpm-preun)
    set(CPACK_RPM_${C}_POST_UNINSTALL_SCRIPT_FILE ${folder}/rpm-postun)
    set(CPACK_DEBIAN_${C}_PACKAGE_DEPENDS "systemd")
    set(CPACK_RPM_${C}_PACKAGE_REQUIRES "systemd")
  endif()
  set(CPACK_DEBIAN_${C}_PACKAGE_CONTROL_EXTRA "")
  foreach(script ${scripts})
    configure_file(${packaging}/scripts/${script}.in ${folder}/${script} @ONLY
                   FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
    list(APPEND CPACK_DEBIAN_${C}_PACKAGE_CONTROL_EXTRA ${folder}/${script})
  endforeach()
endforeach()

file(WRITE ${made}/agent/conffiles "/etc/quell/agent.yaml\n/etc/quell/sanctions.yaml\n")
file(WRITE ${made}/controller/conffiles "/etc/quell/controller.yaml\n")
list(APPEND CPACK_DEBIAN_AGENT_PACKAGE_CONTROL_EXTRA ${made}/agent/conffiles)
list(APPEND CPACK_DEBIAN_CONTROLLER_PACKAGE_CONTROL_EXTRA ${made}/controller/conffiles)
set(CPACK_RPM_AGENT_USER_FILELIST "%config(noreplace) /etc/quell/agent.yaml" "%config(noreplace) /etc/quell/sanctions.yaml"
    "%exclude /usr/share/lintian")
set(CPACK_RPM_CONTROLLER_USER_FILELIST "%config(noreplace) /etc/quell/controller.yaml" "%exclude /usr/share/lintian")
set(CPACK_RPM_CLI_USER_FILELIST "%exclude /usr/share/lintian")

# ---- cpack -------------------------------------------------------------------------------------------------------------
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)  # the target below builds what is packaged, and no test
set(CPACK_GENERATOR "DEB;RPM")
set(CPACK_PACKAGE_NAME quell)
set(CPACK_PACKAGE_VENDOR quell)
set(CPACK_PACKAGE_CONTACT "${QUELL_MAINTAINER}")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/packages)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL agent controller cli)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ
    WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${QUELL_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_RELEASE 1)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_CONTROLLER_PACKAGE_RECOMMENDS quell-cli)
set(CPACK_RPM_COMPONENT_INSTALL ON)
set(CPACK_RPM_PACKAGE_LICENSE "Proprietary")
set(CPACK_RPM_PACKAGE_GROUP "System Environment/Daemons")
set(CPACK_RPM_PACKAGE_RELEASE 1)
set(CPACK_RPM_EXCLUDE_FROM_AUTO_FILELIST_ADDITION /etc /usr/lib/systemd /usr/lib/systemd/system /usr/lib/sysusers.d
    /usr/lib/tmpfiles.d /usr/share/doc)
set(CPACK_RPM_SPEC_MORE_DEFINE "%define _build_id_links none")
include(CPack)

add_custom_target(package_files ALL DEPENDS ${package_files})
add_custom_target(packages
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${CPACK_PACKAGE_DIRECTORY}
  COMMAND ${CMAKE_CPACK_COMMAND} --config ${CMAKE_BINARY_DIR}/CPackConfig.cmake
  DEPENDS package_files quell-agent quell-executor quell-worker quell-pm2-reader quell-controller quell
  WORKING_DIRECTORY ${CMAKE_BINARY_DIR}
  COMMENT "quell's packages"
  VERBATIM)
