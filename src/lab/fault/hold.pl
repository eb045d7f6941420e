# Takes the lock of apt-get and dpkg, says ARGV[0], and holds it for ARGV[1] seconds, or for ever.
use strict;
use Fcntl qw(F_SETLKW F_WRLCK SEEK_SET);
$0 = 'slipway-lab-hold';
# A child of the node's first process, which alone can bury it when it is killed.
exit if fork;
open(my $lock, '>>', '/var/lib/dpkg/lock-frontend') or die "$!\n";
# struct flock: type, whence, start, length, process.
my $whole = pack('s s x![q] q q i x![q]', F_WRLCK, SEEK_SET, 0, 0, 0);
fcntl($lock, F_SETLKW, $whole) or die "$!\n";
$| = 1;
print "$ARGV[0]\n";
select(undef, undef, undef, $ARGV[1]);
