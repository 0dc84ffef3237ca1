/* A Modbus slave by libmodbus: neither our code nor pymodbus's.
 * cc lm_slave.c -lmodbus -o lm_slave; lm_slave rtu PATH UNIT DELAY_MS | lm_slave tcp PORT
 * Holding registers 0..63 hold 1000 + address, input registers 2000 + address; coils are off, inputs alternate. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int serve(modbus_t *context, modbus_mapping_t *map, int delay_ms)
{
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    for (;;) {
        int length = modbus_receive(context, query);
        if (length > 0) {
            usleep(delay_ms * 1000);
            modbus_reply(context, query, length, map);
        } else if (length < 0 && errno != EMBBADCRC && errno != ETIMEDOUT) {
            return errno;
        }
    }
}

int main(int argc, char **argv)
{
    modbus_mapping_t *map = modbus_mapping_new(64, 64, 64, 64);
    if (argc < 3 || map == NULL)
        return 64;
    for (int n = 0; n < 64; n++) {
        map->tab_registers[n] = 1000 + n;
        map->tab_input_registers[n] = 2000 + n;
        map->tab_input_bits[n] = n % 2;
    }
    if (strcmp(argv[1], "rtu") == 0) {
        modbus_t *context = modbus_new_rtu(argv[2], 9600, 'N', 8, 1);
        modbus_set_slave(context, atoi(argv[3]));
        modbus_set_byte_timeout(context, 0, 20000); /* else what others on the line say runs into its own next question */
        if (modbus_connect(context) != 0)
            return 1;
        puts("ready");
        fflush(stdout);
        return serve(context, map, atoi(argv[4]));
    }
    modbus_t *context = modbus_new_tcp("127.0.0.1", atoi(argv[2]));
    int listener = modbus_tcp_listen(context, 1);
    if (listener < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        modbus_tcp_accept(context, &listener);
        serve(context, map, 0);
        modbus_close(context);
    }
}
