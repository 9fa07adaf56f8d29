CREATE EXTENSION citext VERSION '1.5';
CREATE TABLE readings (id bigint, day date, PRIMARY KEY (id, day));

-- Only one version is installed where the tests run: this server says that it is an older one.
SET allow_system_table_mods = on;
CREATE OR REPLACE FUNCTION pg_catalog.current_setting(name text) RETURNS text
    LANGUAGE sql STABLE CALLED ON NULL INPUT PARALLEL SAFE AS $$
    SELECT CASE name WHEN 'server_version_num' THEN '140012'
        ELSE pg_catalog.current_setting(name, false) END
$$;
