-- The application is a superuser, and who assesses is not.
CREATE ROLE app LOGIN SUPERUSER;
CREATE ROLE reporter;
CREATE ROLE mover LOGIN;
GRANT pg_monitor TO mover;
CREATE DATABASE shop;
ALTER DATABASE shop SET TimeZone = 'Europe/Berlin';
-- Somebody's backup, which nobody runs any more.
SELECT pg_create_physical_replication_slot('backup', true);
